"""The real `main()` in process, over real HTTP, against the sandbox."""
