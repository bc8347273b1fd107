"""What people have: records, their texts, the formats that they come in, and their images."""
