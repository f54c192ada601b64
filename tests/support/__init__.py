"""What the tests share: runs of the tap, assertions, cases, and the programs they run against."""
