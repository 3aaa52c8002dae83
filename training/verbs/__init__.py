"""training.verbs"""
