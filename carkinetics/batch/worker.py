"""A worker of the batch on this machine: ``python -m carkinetics.batch.worker ADDRESS FOLDER``.

Ends when its standard input is closed, that is, with the process that started it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from carkinetics.batch.child import ORPHANED

# What dask measures of itself many times a second, for a dashboard that nobody sees here.
CALM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.cycle": "10s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
}


def main() -> None:
    """Work for a scheduler until it ends, or the process that started this one does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(sys.argv[1], sys.argv[2]))


async def _serve(address: str, folder: str) -> None:
    import dask
    from distributed import Worker

    # The process of a job holds the memory, and this one has nothing to show.
    with dask.config.set(CALM | {"distributed.worker.memory.terminate": False}):
        worker = await Worker(
            address,
            nthreads=1,
            memory_limit=0,
            dashboard=False,
            local_directory=folder,
            death_timeout=30,
        )
        await worker.finished()


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
