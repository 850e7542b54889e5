"""Five steps that no log shows together: move the block, open the drawer, take the key, unlock, leave."""
