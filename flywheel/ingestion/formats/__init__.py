"""Log formats: each module turns the rows of one family of logs into canonical rows, and says what it could not carry over."""
