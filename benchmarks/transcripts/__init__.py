"""A tool-using agent of many turns: what a turn costs, beside other ways to make it durable."""
