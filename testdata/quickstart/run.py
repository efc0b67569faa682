"""Runs the training pipeline in the active stack: python run.py"""

from pathlib import Path

from pipeline import training


def main() -> None:
    configured = training.with_options(config_path=str(Path(__file__).with_name("run.yaml")))
    run = configured()
    if run is None or str(run.status) != "completed":
        raise SystemExit(f"the pipeline did not complete: {run.status if run else 'no run'}")
    report = run.steps["evaluate"].outputs["report"][0].load()
    print(f"iris: {report['flowers']} flowers held back, accuracy {report['accuracy']:.3f}")
    for name, count in report["mistakes"].items():
        print(f"  {name}: {count} taken for another")


if __name__ == "__main__":
    main()
