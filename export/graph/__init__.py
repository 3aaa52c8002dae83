"""export.graph"""
