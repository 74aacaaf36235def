"""Where did this checkpoint come from? Ask any node; with the network file, check its answer against the chain.

python examples/read_lineage.py http://localhost:8080 [network.toml]
"""

import sys
from pathlib import Path

import derelayl


def main(url: str, network: str | None = None) -> None:
    """Print the best tip's lineage of each model that the node knows."""
    node = derelayl.Node(url)
    for model in node.items("/v1/models"):
        best = node.items(f"/v1/models/{model['model']}/tips")[0]["checkpoint"]["root"]
        for checkpoint in node.lineage(best):
            gain, maker = checkpoint["gain_ppm"] / 1e6, checkpoint["trainer"]
            print(f"round {checkpoint['round']}: {maker} made {checkpoint['root']}, gaining {gain:+.3f}")
        if network is not None:
            statements = node.verify(best, Path(network))
            print("proven" if all(one.holds for one in statements) else "NOT TRUE")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(f"usage: {(__doc__ or '').splitlines()[2]}")
    main(*sys.argv[1:])
