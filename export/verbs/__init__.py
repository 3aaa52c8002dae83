"""export.verbs"""
