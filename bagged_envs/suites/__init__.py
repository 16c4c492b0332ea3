"""What each suite needs beyond a row in the table of tasks."""
