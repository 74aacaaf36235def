"""The world around the rules: people, learning, judging, consumers, strategies, events. All of it is ours."""
