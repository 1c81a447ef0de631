"""`hindcast s3-keys`: limited keys for reading one team's large values."""

import click

from flows.terminal import fail


@click.command("s3-keys")
@click.argument("team")
@click.argument("bucket")
@click.option("--remove", is_flag=True, help="Delete the user with its keys instead.")
def s3_keys(team: str, bucket: str, remove: bool) -> None:
    """Make an IAM user that can list and read TEAM's objects in BUCKET only, and print its environment.

    Takes the usual AWS variables of somebody who may make users. The secret is printed here and kept nowhere.
    """
    from hindcast.objects.iam import make_reading_keys, remove_reading_keys, user_name

    with fail():
        if remove:
            is_gone = remove_reading_keys(team, bucket)
            click.echo(f"{user_name(team, bucket)}: {'deleted, with its keys' if is_gone else 'no such user'}")
            return
        made = make_reading_keys(team, bucket)
        click.echo(f"made a key for IAM user {made.user}", err=True)
        for name, value in made.environment.items():
            click.echo(f"export {name}={value}")
