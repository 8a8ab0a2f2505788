"""Coverage-guided fuzzing of everything that reads what others write; see ``__main__``."""
