"""The verbs that need the workstation's packages to export.

demo          flora demo
export        flora export

To add one: a file here, its row in `edge.cli.VERBS`.
"""
