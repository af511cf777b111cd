"""Commands that measure; each prints what it finds and writes the figures that README and docs quote."""
