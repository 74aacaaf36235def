"""Every figure we claim, with its rival beside it; results/ are committed."""
