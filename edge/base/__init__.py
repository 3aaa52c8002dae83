"""edge.base"""
