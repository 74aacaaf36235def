"""The figures of a report. Each module draws one kind from a folder of results, or nothing for want of data."""
