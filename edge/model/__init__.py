"""edge.model"""
