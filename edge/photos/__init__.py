"""Photos on disk, and lists of them.

damage        is this picture file whole?
folders       class folders walked, globs, what is left out and why
manifest      which photo is in which split: manifest.csv
run_folder    the names of what lies in a run folder

To add a fault that is recognised: a case in `damage.damage`.
"""
