"""What a real server does when it is killed, flooded, lied to and cut off.

Each module of `rows` is one test of many tries; `python -m benchmarks.faults` runs them and goes on
where it stopped. Knows the server from outside: its command, its ports, its processes and files.
"""
