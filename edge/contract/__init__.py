"""edge.contract"""
