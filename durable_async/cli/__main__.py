from durable_async.cli import main

main()
