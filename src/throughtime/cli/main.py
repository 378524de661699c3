"""`throughtime VERB …`: finds the verb, runs it, and turns errors into messages."""

import sys
from importlib import import_module

VERBS = {
    "train": "train an agent (without arguments: the main job, an agent and its twins on the T-maze)",
    "resume": "go on with an interrupted training, bit for bit",
    "eval": "score a trained policy on fresh episodes",
    "watch": "play episodes of a trained agent, at the terminal or as a GIF",
    "results": "train a grid of agents, memories, environments and seeds; write its tables (without a name: list them)",
    "sweep": "search for good settings on an environment (Optuna)",
    "prove": "say with evidence whether, how far back and for what an agent uses its memory",
    "flow": "look through the gradient microscope: how far back does a loss reach, and what stops it",
    "check": "find out whether your own policy with memory, in any framework, handles its state correctly (memcheck)",
    "task": "train a memory on a supervised sequence task (without a name: list them)",
    "report": "write the HTML report of finished runs",
    "belief": "probe what a trained memory knows: the exact belief, the hidden state, and controls",
    "estimate": "train a memory by prediction, freeze it, and act on its state; beside end-to-end and memoryless",
    "credit": "assign credit through time: learn the pocket watch by return decomposition (RUDDER), or by MC and TD(λ)",
    "world": "measure a world model: how far ahead it sees, whether it means what it says, what a dream is worth",
    "draw": "draw a memory, folded and unfolded through time, as SVG or Mermaid",
    "bench": "measure speed and memory here, beside other libraries (without a name: list the benchmarks)",
    "envs": "list the environments and what is known of them",
    "memories": "list the memories and their options",
    "info": "say which versions and devices are in use",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        argv: the words after `throughtime`; those of this process where None.

    Returns:
        The exit status: 0, 1 after an error in the work, 2 after one in the command line, 130 or 143 after a signal.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0
    if argv[0] == "--version":
        from throughtime.core.version import __version__

        print(__version__)
        return 0
    from throughtime.core import ConfigError, ThroughtimeError, did_you_mean

    try:
        if argv[0] not in VERBS:
            raise ConfigError(f"There is no command {argv[0]!r}.", "", did_you_mean(argv[0], VERBS))
        return import_module(f"throughtime.cli.{argv[0]}").run(argv[1:])
    except ThroughtimeError as error:
        print(f"throughtime: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except BrokenPipeError:
        return 0
    except OSError as error:  # a full disk, a permission: no fault of the program
        print(f"throughtime: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("throughtime: interrupted; what was saved stays.", file=sys.stderr)
        return 130


def _usage() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    return (
        "usage: throughtime COMMAND [OPTIONS]\n\n"
        "Memory for deep-RL agents: recurrent networks trained by backpropagation through time.\n\n"
        f"{verbs}\n\n"
        "throughtime COMMAND --help says what each option means. Every command takes --json."
    )
