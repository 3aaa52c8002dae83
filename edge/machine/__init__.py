"""What this machine can do.

examination   what works, what does not, and what to type next
layers        how long single layers take: a table for the exporter
probes        questions that may crash or hang, asked in child processes
soak          minutes on end: slower, hotter, larger?
starts        what a fresh process takes until its first answer, in time and memory
timing        how long models take, side by side

To add an examination: a function in `examination`; what may crash is asked in `probes`.
"""
