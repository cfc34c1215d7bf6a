"""Executors: who measures the tasks of a sweep; results are the same whoever does."""

from pruning_core.sensitivity.executors.in_process import InProcess, in_process

__all__ = ["InProcess", "in_process"]
