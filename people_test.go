package symbolon

var (
	oldKey = Secret("8f2d1c7ab94e60537d1fe2c4b6a89035")
	newKey = Secret("c41e9b07d5f2836a0e7d4c1b9f385a62")
)
