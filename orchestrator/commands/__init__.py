"""What verbs of the command line do and show."""
