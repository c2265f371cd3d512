"""The wire's structs. They have no behaviour beyond encode and decode, and import msgspec and the standard library only."""
