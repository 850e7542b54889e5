"""The `suture` command, and `python -m suture`: signals are heeded before anything slow is imported."""

import sys

from suture import signals


def main() -> None:
    """Run the command line."""
    signals.heed(sys.argv[1:])
    try:
        from suture.cli import main as command
    except KeyboardInterrupt:
        print("suture: interrupted.", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
