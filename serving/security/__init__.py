"""Who may ask for what: certificates, tokens, the areas of the protocol, the audit log."""
