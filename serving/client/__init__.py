"""What asks a server: the connection, and the commands that use it."""
