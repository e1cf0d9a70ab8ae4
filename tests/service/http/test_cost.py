from benchmarks.checkpoint_calls import calls_of_checkpoint


async def test_a_checkpoint_from_the_socket_to_sqlite_takes_few_own_calls():
    one, two = await calls_of_checkpoint(1), await calls_of_checkpoint(2)
    assert one <= 120
    assert two - one <= 25
