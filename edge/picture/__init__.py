"""edge.picture"""
