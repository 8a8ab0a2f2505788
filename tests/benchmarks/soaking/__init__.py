"""The load, the faults and the samples of the soak benchmark."""
