"""CPU of judging 1,500 packages with a compiled catalog, beside as many dictionary look-ups."""

import gc
import time

from figures import figure, shared_folder
from fleet import fleet_reports
from patchbay_repo_sync.snapshot import Snapshots
from patchbay_update_engine.evaluate.catalog import installed_of, policy_of

from patchbay.evaluate import Evaluation
from patchbay.mirror import open_fetch

ROUNDS = 5


def main() -> None:
    mirror = shared_folder() / "oracle" / "repos" / "apt"
    reports = fleet_reports()
    evaluation = Evaluation(Snapshots(open_fetch({"PATCHBAY_MIRROR_MAP": f"http://127.0.0.1:58000={mirror}"})))
    catalog = evaluation.catalog(reports["d01"])
    hosts = [[installed_of(each) for each in reports[f"d{number:02}"].packages or []] for number in range(1, 21)]
    assert policy_of(reports["d01"]) == policy_of(reports["d20"]), "one catalog must serve all these hosts"
    gc.freeze()  # as the engine does once an index is loaded
    first, warm, floor = [], [], []
    for installed in hosts:
        first.append(cpu_ms(lambda: catalog.evaluate(installed)))  # noqa: B023  (called at once)
        warm += [cpu_ms(lambda: catalog.evaluate(installed)) for _ in range(ROUNDS)]  # noqa: B023
        names = {each.name: each for each in installed}
        floor.append(cpu_ms(lambda: [names[each.name] for each in installed]))  # noqa: B023
    if not all(catalog.evaluate(installed) for installed in hosts):
        raise SystemExit("A host has no updates: the catalogue was not used, the figures mean nothing.")
    figure("evaluate_host_cpu_ms", warm, "ms", target="< 5", floor=min(floor))
    figure("evaluate_new_host_cpu_ms", first, "ms", target="names judged for the first time", floor=min(floor))


def cpu_ms(work: object) -> float:
    assert callable(work)
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1_000


if __name__ == "__main__":
    main()
