"""export.report"""
