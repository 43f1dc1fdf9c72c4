"""The entry point: commands by name, loaded on use, so that `--help` is instant; errors become exit codes here.

Exit codes: 0 ok, 1 a check failed, 2 usage or configuration, 3 bad input file, 4 a missing optional tool,
130 interrupted. Tracebacks only with `--debug`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from neuroprivacy import __version__
from neuroprivacy.core.errors import EXIT_INTERRUPTED, EXIT_USAGE, NeuroPrivacyError

#: Command -> (module, one-line help). The help stands here so that listing the commands imports none of them.
COMMANDS = {
    "demo": ("demo", "The end-to-end pipeline on embedded data, offline, with a report."),
    "train": ("train", "Train an ANN, or a spiking network directly."),
    "synthesize": ("synthesize", "Make class-impression images from an ANN, without data."),
    "convert": ("convert", "Turn an ANN into a spiking network."),
    "encrypt": ("encrypt", "Retrain a converted network (class encryption: obfuscation, no key)."),
    "quantize": ("quantize", "Quantization-aware training in the integers of a target."),
    "export": ("export", "Lower a network to a target's integers and write it for a backend."),
    "trace": ("trace", "First divergence of two runs of a network, and its cause."),
    "simulate": ("simulate", "Run an exported network on data or spikes."),
    "energy": ("energy", "Energy per inference under several cost models."),
    "report": ("report", "Write report.html from run folders."),
    "backend": ("backend", "List, set up and check backends."),
    "target": ("target", "List, show and check targets."),
    "doctor": ("doctor", "Show what this machine has and what is missing."),
}


class Commands(click.Group):
    """A group whose commands are modules of this package."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in pipeline order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"neuroprivacy.cli.{COMMANDS[cmd_name][0]}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="neuroprivacy")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def cli(ctx: click.Context, debug: bool, quiet: bool) -> None:
    """Spiking networks from a trained ANN to the integers that a chip computes, with measured privacy."""
    ctx.obj = {"debug": debug, "quiet": quiet}


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Idle OpenMP threads must sleep, not spin: spinning makes a shared machine tens of times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except NeuroPrivacyError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("interrupted; finished parts are stored, --resume continues from them", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        click.echo("interrupted; finished parts are stored, --resume continues from them", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except ValueError as error:
        # A value that no check of the library caught.
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        # A folder that cannot be written, a full disk, a closed pipe.
        if debug:
            raise
        click.echo(f"error: {error.filename or 'output'}: {error.strerror or error}", err=True)
        sys.exit(EXIT_USAGE)
