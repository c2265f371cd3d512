"""What is said: the wire's structs. No behaviour beyond encode and decode; imports msgspec and the standard library only."""
