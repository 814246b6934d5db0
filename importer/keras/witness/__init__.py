"""Real Keras as a witness: which one may be asked, what it misreads, and what it is asked then."""
