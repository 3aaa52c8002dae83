"""edge.drawing"""
