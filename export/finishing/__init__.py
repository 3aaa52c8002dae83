"""export.finishing"""
