"""The contract: any server held to what Nova needs."""
