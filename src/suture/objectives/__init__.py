"""The three slots of offline RL as pure, cited functions: value backup, value penalty, policy extraction."""
