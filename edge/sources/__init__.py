"""edge.sources"""
