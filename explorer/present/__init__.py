"""What pages show: plain data from the workbench, the state and the jobs, one file for each component."""
