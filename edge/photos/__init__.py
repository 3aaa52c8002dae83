"""edge.photos"""
