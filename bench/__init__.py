"""The benchmarks: each is a command in the Makefile, and says itself what it measures."""
