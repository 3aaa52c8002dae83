"""export.network"""
