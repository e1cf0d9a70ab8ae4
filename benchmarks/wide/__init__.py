"""A map over as many items as are asked for, for each contender: one step in each branch, or a wait of an hour.

With steps, the answer is the sum of what they return. With waits, nothing can go on and the invocation says so. A
process is given and prints what those of ``adapters`` are given and print.
"""
