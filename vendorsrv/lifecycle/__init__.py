"""What happens when an instance is deleted: its handlers' ``deleted`` is called once, and it is forgotten everywhere.

Other packages use ``outbox.Outbox`` ("this instance is gone") and ``memory.Memory`` ("is it?").
"""
