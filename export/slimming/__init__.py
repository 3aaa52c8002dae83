"""export.slimming"""
